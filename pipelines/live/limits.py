"""What one server takes on at most, and how long it waits."""

from pydantic import BaseModel, ConfigDict, Field


class LiveLimits(BaseModel):
    """Limits of the live routes. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sessions: int = Field(
        32, ge=1, description="Sockets that are open at once; more are told to come later."
    )
    idle_s: float = Field(
        300.0, gt=0, description="A socket that sends nothing for so long is closed."
    )
    session_s: float = Field(3600.0, gt=0, description="No session lasts longer.")
    stall_s: float = Field(
        10.0, gt=0, description="A client that takes nothing for so long is closed."
    )
    lead_s: float = Field(
        2.0, gt=0, description="Audio is sent at most so far ahead of its playing."
    )
    queue: int = Field(1024, ge=16, description="Events that wait for one client.")
    frame_bytes: int = Field(1 << 20, ge=1 << 10, description="The largest frame of a socket.")
    bad_frames: int = Field(
        20, ge=1, description="Frames that are no event, before a socket is closed."
    )
    upload_bytes: int = Field(25 << 20, ge=1 << 10, description="The largest body of a request.")
    text_length: int = Field(4096, ge=1, description="Characters that one request may have spoken.")
