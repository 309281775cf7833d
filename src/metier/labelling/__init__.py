"""Rows that a person is asked to answer: which ones, in what way, and what their answers say."""
