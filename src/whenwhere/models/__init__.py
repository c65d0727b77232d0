"""Networks: what runs a checkpoint in this process. Nothing here is loaded before it is asked for."""
