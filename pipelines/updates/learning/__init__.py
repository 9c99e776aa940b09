"""`make learn`: does each branch of trivox-nano learn, over several seeds, by evaluators that did not reward
it?
"""
