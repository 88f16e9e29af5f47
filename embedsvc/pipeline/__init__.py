"""Joins the rooms: the straight lines from what a caller sends to what it gets."""
