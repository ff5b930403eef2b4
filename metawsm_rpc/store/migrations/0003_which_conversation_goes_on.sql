-- The id that the agent's program gives the conversation that it can go on with, and the launch that began it
-- or last went on with it.
ALTER TABLE agents ADD COLUMN conversation TEXT;
ALTER TABLE agents ADD COLUMN conversation_launch TEXT;
