"""What compare.py is made of: processes, a throwaway PostgreSQL, the peers, cases and the report."""
