"""Multi-token prediction: blocks draft what comes next, and of it stays what ordinary decoding would say."""

from trivox.policy.mtp.blocks import MTP_CONFIG, MTP_WEIGHTS, MTPBlocks

__all__ = ["MTP_CONFIG", "MTP_WEIGHTS", "MTPBlocks"]
