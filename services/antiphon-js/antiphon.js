// Antiphon in the browser: one call with an agent.

