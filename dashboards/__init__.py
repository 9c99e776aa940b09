"""Streamlit pages over a workspace. They read through `queries` and change nothing."""
