"""Policy updates: rewards or preferences in, a candidate of a branch out; and candidates back into the shared
model.
"""
