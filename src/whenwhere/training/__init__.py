"""Training a policy to answer when and where. Nothing here is loaded before it is asked for, torch last of all."""
