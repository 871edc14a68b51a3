"""Faults on purpose: real workers and brokers are killed, frozen and robbed of their disks, and must stay exact."""
