---@meta
-- What rules see. For editors (lua-language-server); never loaded.
-- Written by `make docs`, or by `chainwatch lua stubs DIR` for the engine that one has.

---what a file of rules/ returns: data, one function, tests
---@param declaration cw.Rule
---@return cw.Rule
function rule(declaration) end

---what `evaluate` returns when the rule fires
---@param alert cw.Alert
---@return cw.Alert
function alert(alert) end

---"10m" as seconds; units s m h d w; a number is taken as it is
---@param span string|number
---@return number
function seconds(span) end

---@class cw.Rule
---@field id string # words of a-z, 0-9, _ joined with dots, two at least; unique
---@field version string # MAJOR.MINOR.PATCH
---@field severity "low"|"medium"|"high"|"critical" # an alert may name another
---@field status "stable"|"experimental"|"shadow"|nil # shadow: alerts are stored, not published
---@field title string # one line for lists
---@field description string # what it finds and why
---@field references string[]? # where the heuristic comes from
---@field false_positives string[]? # what fires it and is harmless
---@field tags string[]? # "aml.layering"
---@field role "actor"|"victim"|"counterparty"|"unknown"|nil # what the entity of its alerts has done, or had done to it; an alert may say another
---@field params table<string, number|string|boolean|table>? # defaults; conf/rules.lua overrides them by rule id, name and type must fit
---@field when cw.When|fun(p: table): cw.When|nil # conditions under which the rule is called at all; all must hold
---@field state (fun(p: table): table<string, cw.State>)? # the states of the rule, by name
---@field evaluate fun(tx: cw.Tx, s: table<string, cw.State>, p: table): cw.Alert? # looks at one transaction; returns nothing or alert { ... }
---@field investigate (fun(tx: cw.Tx, alert: table, db: table))? # run by the scripts VM for alerts only; may read the database
---@field tests cw.Test[] # at least one that fires and one that stays quiet

---@class cw.Alert
---@field score number # 0 to 1, clipped
---@field confidence number? # 0 to 1; the score if left out
---@field severity "low"|"medium"|"high"|"critical"|nil # instead of the rule's
---@field dedup string? # alerts of one rule with the same text belong together: usually an address
---@field entity string? # the address that it is about; else the one that dedup begins with, else the sender
---@field role "actor"|"victim"|"counterparty"|"unknown"|nil # of the entity; else the rule's, else actor for the sender, counterparty for the receiver
---@field explain table<string, any>? # values, limits and baselines by name; 16 KB at most
---@field text string? # one sentence for people, 2 KB at most; else made of title and explain

---@class cw.When
---@field kind string|string[]|nil # "transfer" (no call data), "call", "creation"
---@field selector string|string[]|nil # one of these selectors, 64 at most
---@field min_x number? # min_value, min_ether, ...: a number of the transaction is at least this
---@field max_x number? # max_value, ...: at most this
---@field x number? # value, nonce, status, ...: exactly this
---@field from_listed string? # the sender is listed under one of these categories; "": any
---@field to_listed string? # the receiver is
---@field listed string? # one of both is

---@class cw.Tx
---@field hash string # 0x and 64 digits, lower case
---@field from string # sender, 0x and 40 digits, lower case
---@field to string? # receiver; nil for a contract creation
---@field value number # wei, to 15 digits
---@field ether number # value / 1e18
---@field value_wei string # wei, exact, decimal digits
---@field gas number # gas limit
---@field gas_price number # wei
---@field gas_price_gwei number # gwei
---@field gas_used number? # nil where the source does not give it
---@field fee number? # gas used times gas price, wei
---@field nonce number # the sender's count of transactions before this one
---@field block number # block number
---@field index number? # place in the block
---@field timestamp number # block time, seconds since 1970: there is no other clock
---@field chain number # chain id
---@field status number? # 1 ok, 0 failed; nil where the source does not give it
---@field selector string? # first four bytes of the call data, like "0xa9059cbb"
---@field input string? # first 100 bytes of the call data, 0x and hex digits
---@field input_size number # bytes of the full call data
---@field arg1 string? # first word of the call data as an address; nil where it is none. So are arg2, arg3
---@field arg2 string?
---@field arg3 string?
---@field word1 string? # the same as 64 hexadecimal digits behind 0x. So are word2, word3
---@field word2 string?
---@field word3 string?
---@field created string? # address of the contract it made
---@field nlogs number # logs in `logs`; 0 without receipts
---@field logs_total number # logs of the receipt
---@field logs cw.Logs # tx.logs[i]; for i, log in tx.logs() or tx.logs("transfer"): all, or those of one kind, in order
---@field is_creation boolean # creates a contract

---@class cw.Log
---@field kind string # "transfer", "approval", ..., "other": rules/README.md has all with their fields
---@field standard string? # "erc20", "erc721", "erc1155"
---@field address string # the contract that wrote it
---@field from string? # sender, owner, initiator, who did it
---@field to string? # receiver, new owner, new implementation, account
---@field spender string? # of approvals
---@field operator string? # of ERC-1155 transfers
---@field token string? # of flash loans
---@field amount number? # to 15 digits; amount_text is exact. So are amount_out and fee
---@field amount_text string? # decimal digits
---@field amount_out number? # of swaps
---@field amount_out_text string?
---@field fee number? # of flash loans
---@field fee_text string?
---@field token_id string? # decimal digits
---@field role string?
---@field approved boolean? # of approval_for_all
---@field zero_for_one boolean? # of swaps
---@field topic string? # topic 0
---@field index number # in the block
---@field data_size number # bytes

---exact, of decimal texts: -1, 0, 1
---@param a string
---@param b string
---@return number
function compare_amounts(a, b) end

---@class cw.Test
---@field name string # what it shows
---@field given cw.TxSpec|cw.TxSpec[] # tx { ... }, txs { ... } or a list of them
---@field expect "quiet"|"alert"|cw.Expect # what the rule must say
---@field params table? # overrides the defaults for this test
---@field lists table<string, string>? # address list: { [A] = "mixer" }

---@class cw.Expect
---@field alerts integer? # exact number
---@field first integer? # which transaction raised the first
---@field severity string? # of the first
---@field dedup string? # of the first
---@field min_score number? # of the first
---@field max_score number? # of the first

---one transaction of a test: fields of cw.Tx, creation = true, after = "5m", at = "10m"; left out: 1 ether from A to B
---@param spec table
---@return cw.TxSpec
function tx(spec) end

---n transactions: n = 24, every = "1s"; a list as a field's value takes turns, a function gets the number from 1
---@param spec table
---@return cw.TxSpec
function txs(spec) end

---the same again and again: seq { times = 3, pause = "1d", tx { ... }, txs { ... } }
---@param spec table
---@return cw.TxSpec[]
function seq(spec) end

---in a test: a new address for every transaction
---@type any
each = nil

---an address for tests; so are B to Z
---@type string
A = nil
