-- What a city can ask for beyond whole cards anywhere: shares of cards, and enterprises. The rest lies in specs and shapes.
ALTER TABLE jobs ADD COLUMN enterprise text NOT NULL DEFAULT ''  -- '': the city itself
    CHECK (enterprise = '' OR enterprise ~ '^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$');

-- Of shares `cards` has one entry for each task, so that a card stands there as often as tasks of the lease share it.
ALTER TABLE lease_nodes ADD COLUMN share_milli smallint NOT NULL DEFAULT 0  -- of its card for each task; 0: whole cards
    CHECK (share_milli BETWEEN 0 AND 999);

-- A row is what one lease holds of one card. No card is promised twice: a whole card has one holder, and shares add up to
-- one card at most.
ALTER TABLE held_cards ADD COLUMN milli smallint NOT NULL DEFAULT 1000 CHECK (milli BETWEEN 1 AND 1000);
ALTER TABLE held_cards ADD COLUMN tasks smallint NOT NULL DEFAULT 1 CHECK (tasks > 0);  -- how many share these milli
ALTER TABLE held_cards DROP CONSTRAINT held_cards_pkey;
ALTER TABLE held_cards ADD PRIMARY KEY (node_id, card, lease_id);
CREATE UNIQUE INDEX held_cards_whole ON held_cards (node_id, card) WHERE milli = 1000;

-- Two transactions that give shares of one card wait for each other at the row of its node, and the second one counts
-- what the first one has committed. That needs a new view of the table for each statement, so READ COMMITTED.
CREATE FUNCTION no_card_beyond_1000() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    over record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'cards are held in READ COMMITTED only' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM FROM nodes WHERE node_id IN (SELECT node_id FROM added) ORDER BY node_id FOR NO KEY UPDATE;
    SELECT h.node_id, h.card, sum(h.milli) AS milli INTO over
      FROM held_cards h JOIN (SELECT DISTINCT node_id, card FROM added) a USING (node_id, card)
     GROUP BY h.node_id, h.card HAVING sum(h.milli) > 1000 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'card % of node % would be promised for % of 1000 milli', over.card, over.node_id, over.milli
              USING ERRCODE = 'check_violation', CONSTRAINT = 'held_cards_milli';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER no_card_beyond_1000 AFTER INSERT ON held_cards REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION no_card_beyond_1000();
