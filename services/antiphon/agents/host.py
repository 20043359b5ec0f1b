"""Keeps a room company: repeats to all what a member said, once they stopped, and tells who comes, goes and speaks."""

from antiphon.worker import Room, Session, Turn, Worker

worker = Worker()


@worker.room_agent("host")
async def host(room: Room) -> None:
    @room.on_join
    def welcome(member: Session) -> None:
        room.send({"joined": member.id, "members": len(room.members)})

    @room.on_leave
    def farewell(member: Session) -> None:
        room.send({"left": member.id, "members": len(room.members)})

    @room.on_speaking
    def notice(member: Session, speaking: bool) -> None:  # noqa: FBT001 - as the room calls it
        room.send({"speaking": member.id, "begins": speaking})

    @room.on_turn
    async def repeat(turn: Turn, member: Session) -> None:
        said = await room.say(turn.audio)
        room.log.info("said", of=member.id, to=len(said), complete=sum(one.complete for one in said.values()))
