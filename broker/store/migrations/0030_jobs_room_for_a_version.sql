-- Room on its page for one more version of each row: a round tells who waits why. A row takes some 950 bytes, so of 70 %
-- only two rows in five found theirs there; the others went to another page, with a new entry in every index.
ALTER TABLE jobs SET (fillfactor = 50);
