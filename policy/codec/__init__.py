"""Speech codecs: waveform to discrete codes and back, behind one interface."""

from trivox.policy.codec.interface import Codec, CodecSpec, CodecStream, drain
from trivox.policy.codec.nano import NanoCodec

__all__ = ["Codec", "CodecSpec", "CodecStream", "NanoCodec", "drain"]
