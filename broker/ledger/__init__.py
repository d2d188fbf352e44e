"""The rules of money: accounts, balanced transactions, holds and what they become, the audit chain. Pure.

Money is integer micro-yuan. An amount on an account is what the exchange owes its holder: what comes in is positive,
what goes out is negative, and the postings of one transaction add up to zero. What came from outside is the negative
balance of `external`.
"""
