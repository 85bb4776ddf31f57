"""PostgreSQL as the engine between hosts (extra ``postgres``); ``wire`` alone knows psycopg."""
