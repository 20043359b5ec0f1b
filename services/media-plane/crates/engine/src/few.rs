//! A list that nearly always has one element, which stands in its owner's own memory: a packet finds it where the rest of the session is.

use std::ops::{Index, IndexMut};

/// Elements in the order that they came in. There are more only behind a first.
#[derive(Clone, Debug)]
pub(crate) struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            first: None,
            more: Vec::new(),
        }
    }
}

impl<T> Few<T> {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<&T> {
        self.first.as_ref()
    }

    /// Adds an element. Returns its place.
    pub(crate) fn push(&mut self, element: T) -> usize {
        if self.first.is_none() {
            self.first = Some(element);
        } else {
            self.more.push(element);
        }
        self.len() - 1
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }

    #[inline]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.more)
    }

    /// The place of the first element that is `wanted`.
    #[inline]
    pub(crate) fn position(&self, mut wanted: impl FnMut(&T) -> bool) -> Option<usize> {
        if self.first.as_ref().is_some_and(&mut wanted) {
            return Some(0);
        }
        self.more.iter().position(wanted).map(|at| at + 1)
    }

    /// Keeps what is to be kept.
    pub(crate) fn retain_mut(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let goes = self.first.as_mut().is_some_and(|first| !keep(first));
        self.more.retain_mut(keep);
        if goes {
            self.first = (!self.more.is_empty()).then(|| self.more.remove(0));
        }
    }

    /// Lets an element and the first change places.
    pub(crate) fn put_first(&mut self, at: usize) {
        if let (Some(first), Some(behind)) = (&mut self.first, at.checked_sub(1)) {
            std::mem::swap(first, &mut self.more[behind]);
        }
    }
}

impl<T> Index<usize> for Few<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        match (&self.first, at) {
            (Some(first), 0) => first,
            _ => &self.more[at.wrapping_sub(1)],
        }
    }
}

impl<T> IndexMut<usize> for Few<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        match (&mut self.first, at) {
            (Some(first), 0) => first,
            _ => &mut self.more[at.wrapping_sub(1)],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_list(steps in prop::collection::vec((0u8..4, 0usize..8), 0..60)) {
            let (mut few, mut list) = (Few::default(), Vec::new());
            for (number, (step, at)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        prop_assert_eq!(few.push(number), list.len());
                        list.push(number);
                    }
                    2 => {
                        few.retain_mut(|element| *element % 3 != at % 3);
                        list.retain(|element| *element % 3 != at % 3);
                    }
                    _ if at < list.len() => {
                        few.put_first(at);
                        list.swap(0, at);
                        prop_assert_eq!(few[at], list[at]);
                        few[at] += 1;
                        list[at] += 1;
                    }
                    _ => {}
                }
                prop_assert_eq!(few.iter().copied().collect::<Vec<_>>(), &list[..]);
                prop_assert_eq!((few.len(), few.first()), (list.len(), list.first()));
                prop_assert_eq!(few.position(|element| *element == number), list.iter().position(|e| *e == number));
            }
        }
    }
}
