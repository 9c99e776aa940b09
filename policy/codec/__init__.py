"""Speech codecs: waveform to discrete codes and back, behind one interface."""

from trivox.policy.codec.interface import Codec, CodecSpec
from trivox.policy.codec.nano import NanoCodec

__all__ = ["Codec", "CodecSpec", "NanoCodec"]
