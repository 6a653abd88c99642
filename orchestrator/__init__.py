"""Kembar's deciding side: the core both sides share, coordination, and the orchestrator's loop."""
