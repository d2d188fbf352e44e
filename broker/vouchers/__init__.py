"""The rules of computing vouchers: programmes, who may apply, what a voucher may pay, how fast a budget goes. Pure.

A programme has a budget of a hub for a year. An enterprise of a city applies, a named officer reviews and grants: money
goes from the budget's account to the voucher's, and the terms are fixed with the voucher. Everything that happens is a
row of a dated story.
"""
