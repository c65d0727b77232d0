"""Small heads on the features of an encoder: a linear probe, a head that answers questions, a head that finds actions.

They learn from arrays and know no encoder, so that any features can be judged by them.
"""
