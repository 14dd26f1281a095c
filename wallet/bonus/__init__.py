"""What a bonus is and what every event does to it. Pure: values in, values out; knows no Django.

`states` is the state machine, `terms` what was promised, `weights` how much a bet counts, `split` whose money is staked and won,
`engine` what one event does to a wallet. The database layer (`wallet.activity`, `wallet.grants`) loads a `Wallet`, lets the engine
work on it and writes the `Outcome`; one event or a million take the same way.
"""
