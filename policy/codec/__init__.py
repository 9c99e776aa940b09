"""Speech codecs: waveform to discrete codes and back, behind one interface."""

from trivox.policy.codec.folder import codec_folder_hash, load_codec, save_codec
from trivox.policy.codec.hub import HubCodec
from trivox.policy.codec.interface import Codec, CodecSpec, CodecStream, drain
from trivox.policy.codec.nano import NanoCodec

__all__ = [
    "Codec",
    "CodecSpec",
    "CodecStream",
    "HubCodec",
    "NanoCodec",
    "codec_folder_hash",
    "drain",
    "load_codec",
    "save_codec",
]
