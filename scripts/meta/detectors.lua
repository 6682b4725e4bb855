---@meta
-- Constructors of states, for the `state` function of a rule. For editors (lua-language-server); never loaded.
-- Written by `make docs`, or by `chainwatch lua stubs DIR` for the engine that one has.

---@class cw.State

window = {}

---How many transactions a key had in the last span of event time.
---@class cw.window.count: cw.State
---@field add fun(self: cw.window.count, tx: cw.Tx): number? # number of events in the window, this one included
---@field get fun(self: cw.window.count, tx: cw.Tx, field?: string): number? # number of events in the window at this transaction's time; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.count
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field span string|number # length of the window in event time
---@field buckets integer? # sub-buckets of the window; events up to span / buckets too old are still seen
---How many transactions a key had in the last span of event time.
---@param options cw.options.window.count
---@return cw.window.count
function window.count(options) end

---Sum of a number over the last span of event time, for each key.
---@class cw.window.sum: cw.State
---@field add fun(self: cw.window.sum, tx: cw.Tx, x?: number): number? # sum over the window, this one included; the number defaults to the field `of`
---@field get fun(self: cw.window.sum, tx: cw.Tx, field?: string): number? # sum over the window at this transaction's time; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.sum
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field span string|number # length of the window in event time
---@field buckets integer? # sub-buckets of the window; events up to span / buckets too old are still seen
---@field of string? # field to take; left out: the number is an argument of add
---Sum of a number over the last span of event time, for each key.
---@param options cw.options.window.sum
---@return cw.window.sum
function window.sum(options) end

---Transactions of a key for each minute (or other unit), over the last span of event time.
---@class cw.window.rate: cw.State
---@field add fun(self: cw.window.rate, tx: cw.Tx): number? # events for each `per`, this one included
---@field get fun(self: cw.window.rate, tx: cw.Tx, field?: string): number? # events for each `per` at this transaction's time; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.rate
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field span string|number # length of the window in event time
---@field buckets integer? # sub-buckets of the window; events up to span / buckets too old are still seen
---@field per string|number? # unit of the rate
---Transactions of a key for each minute (or other unit), over the last span of event time.
---@param options cw.options.window.rate
---@return cw.window.rate
function window.rate(options) end

---Largest number of the last span of event time, for each key.
---@class cw.window.max: cw.State
---@field add fun(self: cw.window.max, tx: cw.Tx, x?: number): number? # largest number in the window, this one included; the number defaults to the field `of`
---@field get fun(self: cw.window.max, tx: cw.Tx, field?: string): number? # largest number in the window at this transaction's time, nil if there is none; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.max
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field span string|number # length of the window in event time
---@field buckets integer? # sub-buckets of the window; events up to span / buckets too old are still seen
---@field of string? # field to take; left out: the number is an argument of add
---Largest number of the last span of event time, for each key.
---@param options cw.options.window.max
---@return cw.window.max
function window.max(options) end

---Smallest number of the last span of event time, for each key.
---@class cw.window.min: cw.State
---@field add fun(self: cw.window.min, tx: cw.Tx, x?: number): number? # smallest number in the window, this one included; the number defaults to the field `of`
---@field get fun(self: cw.window.min, tx: cw.Tx, field?: string): number? # smallest number in the window at this transaction's time, nil if there is none; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.min
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field span string|number # length of the window in event time
---@field buckets integer? # sub-buckets of the window; events up to span / buckets too old are still seen
---@field of string? # field to take; left out: the number is an argument of add
---Smallest number of the last span of event time, for each key.
---@param options cw.options.window.min
---@return cw.window.min
function window.min(options) end

---How many different values (receivers, senders, selectors) a key met in the last span of event time.
---@class cw.window.distinct: cw.State
---@field add fun(self: cw.window.distinct, tx: cw.Tx): number? # number of different values in the window, this one included
---@field get fun(self: cw.window.distinct, tx: cw.Tx, field?: string): number? # number of different values in the window at this transaction's time; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.distinct
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string # field or fields whose different values are counted
---@field span string|number # length of the window in event time
---@field buckets integer? # sub-buckets of the window; values met up to span / buckets too early are still seen
---@field capacity integer? # different values a key counts exactly; more are estimated from a sample of that size
---How many different values (receivers, senders, selectors) a key met in the last span of event time.
---@param options cw.options.window.distinct
---@return cw.window.distinct
function window.distinct(options) end

---The last n numbers of a key and when they came, in order of arrival.
---@class cw.window.last: cw.State
---@field add fun(self: cw.window.last, tx: cw.Tx, x?: number): number? # keeps this number; returns how many are held, this one included
---@field at fun(self: cw.window.last, tx: cw.Tx, x?: number, field2?: string): number? # the number added i-th last (1, the default, is the newest), nil if there are fewer
---@field age fun(self: cw.window.last, tx: cw.Tx, x?: number, field2?: string): number? # seconds from the i-th last number to this transaction, nil if there are fewer
---@field count fun(self: cw.window.last, tx: cw.Tx, field?: string): number? # how many numbers are held; a field as argument looks up that field's entry instead of the key's
---@field mean fun(self: cw.window.last, tx: cw.Tx, field?: string): number? # mean of the numbers held, nil if none; a field as argument looks up that field's entry instead of the key's
---@field equal fun(self: cw.window.last, tx: cw.Tx, x?: number): number? # how many of the numbers held equal this one
---@class cw.options.window.last
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to keep; left out: the number is an argument
---@field n integer? # numbers kept for a key
---The last n numbers of a key and when they came, in order of arrival.
---@param options cw.options.window.last
---@return cw.window.last
function window.last(options) end

---Transactions of a key that follow each other without a long pause: number, sum and length of the run.
---@class cw.window.session: cw.State
---@field add fun(self: cw.window.session, tx: cw.Tx, x?: number): number? # transactions in the session, this one included
---@field count fun(self: cw.window.session, tx: cw.Tx, field?: string): number? # transactions in the session that is open, 0 if none is; a field as argument looks up that field's entry instead of the key's
---@field sum fun(self: cw.window.session, tx: cw.Tx, field?: string): number? # sum of the numbers in the session that is open; a field as argument looks up that field's entry instead of the key's
---@field length fun(self: cw.window.session, tx: cw.Tx, field?: string): number? # seconds from its first to its last transaction, nil if none is open; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.session
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field gap string|number # a longer pause ends the session
---@field of string? # field to sum; left out: the number is an argument of add, or none
---Transactions of a key that follow each other without a long pause: number, sum and length of the run.
---@param options cw.options.window.session
---@return cw.window.session
function window.session(options) end

---Count, sum, minimum and maximum of a key in fixed periods (each hour, each day UTC), and those of the period before.
---@class cw.window.tumbling: cw.State
---@field add fun(self: cw.window.tumbling, tx: cw.Tx, x?: number): number? # transactions in the newest period, this one included
---@field count fun(self: cw.window.tumbling, tx: cw.Tx, field?: string): number? # transactions in this transaction's period so far; a field as argument looks up that field's entry instead of the key's
---@field sum fun(self: cw.window.tumbling, tx: cw.Tx, field?: string): number? # sum of the numbers in it; a field as argument looks up that field's entry instead of the key's
---@field min fun(self: cw.window.tumbling, tx: cw.Tx, field?: string): number? # smallest number in it, nil if there is none; a field as argument looks up that field's entry instead of the key's
---@field max fun(self: cw.window.tumbling, tx: cw.Tx, field?: string): number? # largest number in it, nil if there is none; a field as argument looks up that field's entry instead of the key's
---@field before_count fun(self: cw.window.tumbling, tx: cw.Tx, field?: string): number? # transactions in the period right before it; a field as argument looks up that field's entry instead of the key's
---@field before_sum fun(self: cw.window.tumbling, tx: cw.Tx, field?: string): number? # sum of the numbers in the period right before it; a field as argument looks up that field's entry instead of the key's
---@class cw.options.window.tumbling
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field span string|number # length of a period; periods start at its multiples since 1970 ("1d": midnight UTC)
---@field of string? # field to sum; left out: the number is an argument of add, or none
---Count, sum, minimum and maximum of a key in fixed periods (each hour, each day UTC), and those of the period before.
---@param options cw.options.window.tumbling
---@return cw.window.tumbling
function window.tumbling(options) end

stat = {}

---How far a number is from the median of a key's past, in robust standard deviations (median and MAD): a few wild numbers in the past do not widen the measure.
---@class cw.stat.robust: cw.State
---@field add fun(self: cw.stat.robust, tx: cw.Tx, x?: number): number? # robust z-score of this number against the past, then takes it; nil before `warm` numbers
---@field score fun(self: cw.stat.robust, tx: cw.Tx, x?: number): number? # robust z-score of this number against the past, without taking it; nil before `warm` numbers
---@field median fun(self: cw.stat.robust, tx: cw.Tx, field?: string): number? # median of the past, nil before `warm` numbers; a field as argument looks up that field's entry instead of the key's
---@field spread fun(self: cw.stat.robust, tx: cw.Tx, field?: string): number? # robust standard deviation, of the logarithms on a log scale; a field as argument looks up that field's entry instead of the key's
---@field count fun(self: cw.stat.robust, tx: cw.Tx, field?: string): number? # numbers the past consists of (after halving); a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.robust
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to take; left out: the number is an argument
---@field scale string? # "log": distances between logarithms, for amounts that span decades (numbers below 1 count as 1); "linear": between the numbers
---@field warm integer? # numbers that must be known before a score is given
---@field memory integer? # when this many are known, all counts are halved, so that the past fades
---@field min number? # smaller numbers are neither taken nor scored
---@field min_spread number? # least spread that is assumed, in the unit of the scale
---@field error number? # relative error of the sketch while its bins suffice
---@field bins integer? # bins of the sketch; 0: 128 with a key, 2048 without
---How far a number is from the median of a key's past, in robust standard deviations (median and MAD): a few wild numbers in the past do not widen the measure.
---@param options cw.options.stat.robust
---@return cw.stat.robust
function stat.robust(options) end

---Mean and standard deviation of all past numbers of a key, and how many deviations a new one is away.
---@class cw.stat.welford: cw.State
---@field add fun(self: cw.stat.welford, tx: cw.Tx, x?: number): number? # z-score of this number against the past, then takes it; nil before `warm` numbers
---@field score fun(self: cw.stat.welford, tx: cw.Tx, x?: number): number? # z-score of this number against the past, without taking it; nil before `warm` numbers
---@field mean fun(self: cw.stat.welford, tx: cw.Tx, field?: string): number? # mean; a field as argument looks up that field's entry instead of the key's
---@field sd fun(self: cw.stat.welford, tx: cw.Tx, field?: string): number? # standard deviation; a field as argument looks up that field's entry instead of the key's
---@field count fun(self: cw.stat.welford, tx: cw.Tx, field?: string): number? # numbers taken so far; a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.welford
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to take; left out: the number is an argument
---@field warm integer? # numbers that must be known before a score is given
---Mean and standard deviation of all past numbers of a key, and how many deviations a new one is away.
---@param options cw.options.stat.welford
---@return cw.stat.welford
function stat.welford(options) end

---Mean and standard deviation of the recent past of a key, older numbers weighing less and less, and how many deviations a new one is away.
---@class cw.stat.ewma: cw.State
---@field add fun(self: cw.stat.ewma, tx: cw.Tx, x?: number): number? # z-score of this number against the past, then takes it; nil before `warm` numbers
---@field score fun(self: cw.stat.ewma, tx: cw.Tx, x?: number): number? # z-score of this number against the past, without taking it; nil before `warm` numbers
---@field mean fun(self: cw.stat.ewma, tx: cw.Tx, field?: string): number? # mean; a field as argument looks up that field's entry instead of the key's
---@field sd fun(self: cw.stat.ewma, tx: cw.Tx, field?: string): number? # standard deviation; a field as argument looks up that field's entry instead of the key's
---@field count fun(self: cw.stat.ewma, tx: cw.Tx, field?: string): number? # numbers taken so far; a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.ewma
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to take; left out: the number is an argument
---@field warm integer? # numbers that must be known before a score is given
---@field alpha number? # weight of a new number; 1/alpha numbers are remembered
---@field half_life string|number? # weights fade with event time instead: half after this long; replaces alpha
---Mean and standard deviation of the recent past of a key, older numbers weighing less and less, and how many deviations a new one is away.
---@param options cw.options.stat.ewma
---@return cw.stat.ewma
function stat.ewma(options) end

---A running quantile of a number: a limit that adapts to the traffic, and where a number stands in its past. Numbers below or at 0 are one and the same.
---@class cw.stat.quantile: cw.State
---@field add fun(self: cw.stat.quantile, tx: cw.Tx, x?: number): boolean? # true if this number is above the limit of the past; then takes it. False before `warm` numbers
---@field above fun(self: cw.stat.quantile, tx: cw.Tx, x?: number): boolean? # the same without taking it
---@field get fun(self: cw.stat.quantile, tx: cw.Tx, x?: number, field2?: string): number? # the limit, nil before `warm` numbers; with an argument that quantile (0 to 1) instead
---@field rank fun(self: cw.stat.quantile, tx: cw.Tx, x?: number): number? # share of the past below this number, 0 to 1; nil if there is none
---@field count fun(self: cw.stat.quantile, tx: cw.Tx, field?: string): number? # numbers the past consists of (after halving); a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.quantile
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to take; left out: the number is an argument
---@field q number? # the quantile that is the limit
---@field warm integer? # numbers that must be known before there is a limit
---@field memory integer? # when this many are known, all counts are halved, so that the past fades; left out: never
---@field error number? # relative error of the sketch while its bins suffice
---@field bins integer? # bins of the sketch; 0: 128 with a key, 2048 without
---A running quantile of a number: a limit that adapts to the traffic, and where a number stands in its past. Numbers below or at 0 are one and the same.
---@param options cw.options.stat.quantile
---@return cw.stat.quantile
function stat.quantile(options) end

---Counts of a number in fixed bins: how common a number like this one is for the key.
---@class cw.stat.histogram: cw.State
---@field add fun(self: cw.stat.histogram, tx: cw.Tx, x?: number): number? # surprise of this number's bin in bits (-log2 of its share of the past), then takes it; nil before `warm`
---@field surprise fun(self: cw.stat.histogram, tx: cw.Tx, x?: number): number? # the same without taking it
---@field share fun(self: cw.stat.histogram, tx: cw.Tx, x?: number): number? # share of this number's bin in the past, nil if there is none
---@field count fun(self: cw.stat.histogram, tx: cw.Tx, field?: string): number? # transactions the past consists of (after halving); a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.histogram
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to take; left out: the number is an argument
---@field warm integer? # transactions that must be known before there is an answer
---@field memory integer? # when this many are known, all counts are halved, so that the past fades; left out: never
---@field lo number # lower end of the range
---@field hi number # upper end of the range
---@field bins integer? # bins of equal width between lo and hi; two more hold what is below and above
---@field scale string? # "linear" or "log" (then lo must be above 0)
---Counts of a number in fixed bins: how common a number like this one is for the key.
---@param options cw.options.stat.histogram
---@return cw.stat.histogram
function stat.histogram(options) end

---First digits of a key's amounts against Benford's law: made-up amounts and wash trades do not follow it.
---@class cw.stat.benford: cw.State
---@field add fun(self: cw.stat.benford, tx: cw.Tx, x?: number): number? # surprise of this first digit in bits (-log2 of its share of the past), then takes it; nil before `warm`
---@field surprise fun(self: cw.stat.benford, tx: cw.Tx, x?: number): number? # the same without taking it
---@field share fun(self: cw.stat.benford, tx: cw.Tx, x?: number): number? # share of this first digit in the past, nil if there is none
---@field count fun(self: cw.stat.benford, tx: cw.Tx, field?: string): number? # transactions the past consists of (after halving); a field as argument looks up that field's entry instead of the key's
---@field deviation fun(self: cw.stat.benford, tx: cw.Tx, field?: string): number? # mean distance of the nine shares from Benford's law, nil before `warm` (above 0.015 does not conform); a field as argument looks up that field's entry instead of the key's
---@field chi2 fun(self: cw.stat.benford, tx: cw.Tx, field?: string): number? # chi-squared distance with 8 degrees of freedom, nil before `warm` (15.5 is exceeded by chance in 5 %); a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.benford
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to take; left out: the number is an argument
---@field warm integer? # transactions that must be known before there is an answer
---@field memory integer? # when this many are known, all counts are halved, so that the past fades; left out: never
---First digits of a key's amounts against Benford's law: made-up amounts and wash trades do not follow it.
---@param options cw.options.stat.benford
---@return cw.stat.benford
function stat.benford(options) end

---How evenly a key's transactions are spread over receivers, selectors or other values, and how unusual this one's value is.
---@class cw.stat.entropy: cw.State
---@field add fun(self: cw.stat.entropy, tx: cw.Tx, x?: number): number? # surprise of this value in bits (-log2 of its share of the past), then takes it; nil before `warm`
---@field surprise fun(self: cw.stat.entropy, tx: cw.Tx, x?: number): number? # the same without taking it
---@field share fun(self: cw.stat.entropy, tx: cw.Tx, x?: number): number? # share of this value in the past, nil if there is none
---@field count fun(self: cw.stat.entropy, tx: cw.Tx, field?: string): number? # transactions the past consists of (after halving); a field as argument looks up that field's entry instead of the key's
---@field bits fun(self: cw.stat.entropy, tx: cw.Tx, field?: string): number? # entropy of the values in bits: 0 for one value, log2 n for n equally frequent ones; a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.entropy
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string # field or fields whose spread is measured
---@field warm integer? # transactions that must be known before there is an answer
---@field memory integer? # when this many are known, all counts are halved, so that the past fades; left out: never
---@field cells integer? # classes into which values are hashed
---How evenly a key's transactions are spread over receivers, selectors or other values, and how unusual this one's value is.
---@param options cw.options.stat.entropy
---@return cw.stat.entropy
function stat.entropy(options) end

---A number against its usual size at this hour of the day, day of the week or hour of the week.
---@class cw.stat.season: cw.State
---@field add fun(self: cw.stat.season, tx: cw.Tx, x?: number): number? # z-score of this number against its slot of the clock, then takes it; nil before `warm` numbers
---@field score fun(self: cw.stat.season, tx: cw.Tx, x?: number): number? # the same without taking it
---@field mean fun(self: cw.stat.season, tx: cw.Tx, field?: string): number? # mean of this slot of the clock; a field as argument looks up that field's entry instead of the key's
---@field sd fun(self: cw.stat.season, tx: cw.Tx, field?: string): number? # standard deviation of this slot of the clock; a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.season
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to take; left out: the number is an argument
---@field clock string? # "hour of day", "day of week" or "hour of week" (UTC)
---@field alpha number? # weight of the newest; 1/alpha are remembered in each slot of the clock
---@field warm integer? # numbers that a slot must know before a score is given
---A number against its usual size at this hour of the day, day of the week or hour of the week.
---@param options cw.options.stat.season
---@return cw.stat.season
function stat.season(options) end

---How busy a key is in this hour (or day) against the same hour of earlier days; hours without transactions count as zero.
---@class cw.stat.activity: cw.State
---@field add fun(self: cw.stat.activity, tx: cw.Tx): number? # counts this transaction; z-score of the running hour's (day's) number so far against its slot of the clock; nil before `warm` rounds
---@field count fun(self: cw.stat.activity, tx: cw.Tx, field?: string): number? # transactions in the running hour (day); a field as argument looks up that field's entry instead of the key's
---@field mean fun(self: cw.stat.activity, tx: cw.Tx, field?: string): number? # mean number in this slot of the clock; a field as argument looks up that field's entry instead of the key's
---@field sd fun(self: cw.stat.activity, tx: cw.Tx, field?: string): number? # standard deviation of the number in this slot of the clock; a field as argument looks up that field's entry instead of the key's
---@class cw.options.stat.activity
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field clock string? # "hour of day", "day of week" or "hour of week" (UTC)
---@field alpha number? # weight of the newest; 1/alpha are remembered in each slot of the clock
---@field warm integer? # rounds of the clock that must be over before a score is given
---How busy a key is in this hour (or day) against the same hour of earlier days; hours without transactions count as zero.
---@param options cw.options.stat.activity
---@return cw.stat.activity
function stat.activity(options) end

key = {}

---Whether, since when and how often a key was seen: new accounts, dormant ones that wake up.
---@class cw.key.first_seen: cw.State
---@field add fun(self: cw.key.first_seen, tx: cw.Tx): boolean? # notes this transaction; true if the key was new. Ask the other methods before it
---@field is_new fun(self: cw.key.first_seen, tx: cw.Tx, field?: string): boolean? # true if the key was never noted; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.key.first_seen, tx: cw.Tx, field?: string): number? # seconds since the key was seen first, nil if it is new; a field as argument looks up that field's entry instead of the key's
---@field idle fun(self: cw.key.first_seen, tx: cw.Tx, field?: string): number? # seconds since the key was seen last, nil if it is new; a field as argument looks up that field's entry instead of the key's
---@field count fun(self: cw.key.first_seen, tx: cw.Tx, field?: string): number? # transactions noted for the key; a field as argument looks up that field's entry instead of the key's
---@class cw.options.key.first_seen
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---Whether, since when and how often a key was seen: new accounts, dormant ones that wake up.
---@param options cw.options.key.first_seen
---@return cw.key.first_seen
function key.first_seen(options) end

---Who paid an address first: accounts with a common root, fresh accounts of one owner.
---@class cw.key.funder: cw.State
---@field add fun(self: cw.key.funder, tx: cw.Tx): boolean? # notes the payment; true if it is the receiver's first, nil if it pays nobody. Ask the other methods before it
---@field age fun(self: cw.key.funder, tx: cw.Tx, field?: string): number? # seconds since the first payment, nil if none was seen; of the sender, or of the field that is given
---@field value fun(self: cw.key.funder, tx: cw.Tx, field?: string): number? # wei of the first payment, nil if none was seen; of the sender, or of the field that is given
---@field payer fun(self: cw.key.funder, tx: cw.Tx, field?: string): string? # address that paid first, nil if none was seen; of the sender, or of the field that is given
---@field id fun(self: cw.key.funder, tx: cw.Tx, field?: string): number? # number that stands for that address, for window.last and its like; nil if none was seen; of the sender, or of the field that is given
---@field same fun(self: cw.key.funder, tx: cw.Tx, field?: string, field2?: string): boolean? # true if sender and receiver, or the two fields that are given, were first paid by the same address
---@class cw.options.key.funder
---@field max_keys integer? # addresses kept; beyond it the one whose last payment is oldest among 8 makes room
---@field min_value number? # wei; smaller payments fund nobody
---Who paid an address first: accounts with a common root, fresh accounts of one owner.
---@param options cw.options.key.funder
---@return cw.key.funder
function key.funder(options) end

---Whether an account dealt with another address that begins and ends like this one: address poisoning.
---@class cw.key.lookalike: cw.State
---@field like fun(self: cw.key.lookalike, tx: cw.Tx, field?: string, field2?: string): number? # seconds since the account dealt with an address that looks like the other one and is not it, nil if it never did; whose (from) and the other (to) can be given as fields
---@field add fun(self: cw.key.lookalike, tx: cw.Tx, field?: string, field2?: string): number? # the same, then notes that the account deals with the other one; whose (from) and the other (to) can be given as fields
---@class cw.options.key.lookalike
---@field max_keys integer? # pairs of accounts kept; beyond it the pair whose last event is oldest among 8 makes room
---@field digits integer? # hexadecimal digits at each end that make two addresses look alike
---Whether an account dealt with another address that begins and ends like this one: address poisoning.
---@param options cw.options.key.lookalike
---@return cw.key.lookalike
function key.lookalike(options) end

sequence = {}

---First this, then that within some time, and not that other thing between: the rule says which transaction is which step, and clears the run when it must not go on.
---@class cw.sequence.steps: cw.State
---@field step fun(self: cw.sequence.steps, tx: cw.Tx, x?: number): number? # this transaction is the i-th step (1 to steps): i if the steps before it were done in order within the span, else 0; the last step ends the run
---@field done fun(self: cw.sequence.steps, tx: cw.Tx, field?: string): number? # steps done of the longest run that may still go on, 0 if there is none; a field as argument looks up that field's entry instead of the key's
---@field clear fun(self: cw.sequence.steps, tx: cw.Tx, field?: string): boolean? # what must not happen has happened: forgets all runs of the key; a field as argument looks up that field's entry instead of the key's
---@class cw.options.sequence.steps
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field steps integer? # steps of the pattern
---@field span string|number # time from the first to the last step
---First this, then that within some time, and not that other thing between: the rule says which transaction is which step, and clears the run when it must not go on.
---@param options cw.options.sequence.steps
---@return cw.sequence.steps
function sequence.steps(options) end

---How often in a row a key did the same: the same selector, the same receiver, the same amount.
---@class cw.sequence.repeats: cw.State
---@field add fun(self: cw.sequence.repeats, tx: cw.Tx): number? # how many times in a row the key has sent this value, this one included
---@field count fun(self: cw.sequence.repeats, tx: cw.Tx, field?: string): number? # length of the run that is open, 0 if none is; a field as argument looks up that field's entry instead of the key's
---@field length fun(self: cw.sequence.repeats, tx: cw.Tx, field?: string): number? # seconds from its first to its last, nil if none is open; a field as argument looks up that field's entry instead of the key's
---@class cw.options.sequence.repeats
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string # field or fields that must stay the same
---@field span string|number? # a longer pause between two ends the run
---How often in a row a key did the same: the same selector, the same receiver, the same amount.
---@param options cw.options.sequence.repeats
---@return cw.sequence.repeats
function sequence.repeats(options) end

---Nonces of a sender: gaps (transactions that were not seen), late ones and replacements (the same nonce twice).
---@class cw.sequence.nonce: cw.State
---@field add fun(self: cw.sequence.nonce, tx: cw.Tx): number? # nonce minus the one that was due: 0 in order, above 0 some are missing, below 0 late or a replacement; nil for the first of a key
---@field replaces fun(self: cw.sequence.nonce, tx: cw.Tx): boolean? # true if another transaction of the key had this nonce (of the last 64). Ask before add
---@field missing fun(self: cw.sequence.nonce, tx: cw.Tx): number? # nonces that have not come, of the last 64
---@class cw.options.sequence.nonce
---@field key string? # whose nonces they are: the sender
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---Nonces of a sender: gaps (transactions that were not seen), late ones and replacements (the same nonce twice).
---@param options cw.options.sequence.nonce
---@return cw.sequence.nonce
function sequence.nonce(options) end

---One sender before and after others at the same contract within one block: the order in which sandwich attacks trade. Order is the index in the block, or that of arrival where there is none.
---@class cw.sequence.sandwich: cw.State
---@field add fun(self: cw.sequence.sandwich, tx: cw.Tx): number? # transactions of others between this one and the same sender's last one before it in this block: above 0 it closes a sandwich around so many
---@field count fun(self: cw.sequence.sandwich, tx: cw.Tx, field?: string): number? # transactions of the key in this block so far; a field as argument looks up that field's entry instead of the key's
---@class cw.options.sequence.sandwich
---@field key string? # where it happens: the pool or router that is called
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # who does it: the sender
---@field n integer? # last transactions of a block that are looked at
---@field priced boolean? # only if the first one paid at least the gas price of all between (not so where order is bought otherwise)
---One sender before and after others at the same contract within one block: the order in which sandwich attacks trade. Order is the index in the block, or that of arrival where there is none.
---@param options cw.options.sequence.sandwich
---@return cw.sequence.sandwich
function sequence.sandwich(options) end

drift = {}

---Tells when the mean of a number has risen (or fallen) for good.
---@class cw.drift.page_hinkley: cw.State
---@field add fun(self: cw.drift.page_hinkley, tx: cw.Tx, x?: number): boolean? # takes this number (by default the field `of`); true if the change is found with it
---@field changes fun(self: cw.drift.page_hinkley, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.page_hinkley, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.page_hinkley
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to watch; left out: the number is an argument of add
---@field warm integer? # numbers before it may fire
---@field delta number? # change of the mean that is tolerated, in the unit of the numbers
---@field threshold number? # sum of deviations at which it fires, in the unit of the numbers
---@field alpha number? # the sum shrinks to this share with each number
---@field direction string? # "up", "down" or "both"
---Tells when the mean of a number has risen (or fallen) for good.
---@param options cw.options.drift.page_hinkley
---@return cw.drift.page_hinkley
function drift.page_hinkley(options) end

---Tells when a number has moved up or down by some standard deviations of its own past, whatever its unit.
---@class cw.drift.cusum: cw.State
---@field add fun(self: cw.drift.cusum, tx: cw.Tx, x?: number): boolean? # takes this number (by default the field `of`); true if the change is found with it
---@field changes fun(self: cw.drift.cusum, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.cusum, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.cusum
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to watch; left out: the number is an argument of add
---@field warm integer? # numbers before it may fire
---@field slack number? # half of the shift that matters, in standard deviations
---@field threshold number? # sum at which it fires, in standard deviations
---Tells when a number has moved up or down by some standard deviations of its own past, whatever its unit.
---@param options cw.options.drift.cusum
---@return cw.drift.cusum
function drift.cusum(options) end

---Tells when the share of errors (failed transactions, wrong predictions) has risen above its best.
---@class cw.drift.ddm: cw.State
---@field add fun(self: cw.drift.ddm, tx: cw.Tx, x?: number): boolean? # takes this verdict (1 error, 0 not; by default whether the transaction failed, nil without a status); true if the change is found with it
---@field changes fun(self: cw.drift.ddm, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.ddm, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@field warning fun(self: cw.drift.ddm, tx: cw.Tx, field?: string): boolean? # true if the last verdict made it warn; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.ddm
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field warm integer? # verdicts before it may fire
---@field warning number? # standard deviations above the best error rate at which it warns
---@field drift number? # standard deviations above the best error rate at which it fires
---Tells when the share of errors (failed transactions, wrong predictions) has risen above its best.
---@param options cw.options.drift.ddm
---@return cw.drift.ddm
function drift.ddm(options) end

---Tells when errors come closer together: better than ddm for slow changes, with more false alarms.
---@class cw.drift.eddm: cw.State
---@field add fun(self: cw.drift.eddm, tx: cw.Tx, x?: number): boolean? # takes this verdict (1 error, 0 not; by default whether the transaction failed, nil without a status); true if the change is found with it
---@field changes fun(self: cw.drift.eddm, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.eddm, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@field warning fun(self: cw.drift.eddm, tx: cw.Tx, field?: string): boolean? # true if the last verdict made it warn; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.eddm
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field warm integer? # errors before it may fire
---@field warning number? # share of the greatest distance between errors below which it warns
---@field drift number? # share of the greatest distance between errors below which it fires
---Tells when errors come closer together: better than ddm for slow changes, with more false alarms.
---@param options cw.options.drift.eddm
---@return cw.drift.eddm
function drift.eddm(options) end

---Tells when a share has changed, by averages: no assumption about the errors but that they lie in 0 to 1.
---@class cw.drift.hddm_a: cw.State
---@field add fun(self: cw.drift.hddm_a, tx: cw.Tx, x?: number): boolean? # takes this verdict (1 error, 0 not; by default whether the transaction failed, nil without a status); true if the change is found with it
---@field changes fun(self: cw.drift.hddm_a, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.hddm_a, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@field warning fun(self: cw.drift.hddm_a, tx: cw.Tx, field?: string): boolean? # true if the last verdict made it warn; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.hddm_a
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field drift number? # probability of a false alarm
---@field warning number? # probability of a false warning
---@field two_sided boolean? # falls of the rate are found too
---Tells when a share has changed, by averages: no assumption about the errors but that they lie in 0 to 1.
---@param options cw.options.drift.hddm_a
---@return cw.drift.hddm_a
function drift.hddm_a(options) end

---Tells when a share has changed, by weighted averages: quicker than hddm_a for sudden changes.
---@class cw.drift.hddm_w: cw.State
---@field add fun(self: cw.drift.hddm_w, tx: cw.Tx, x?: number): boolean? # takes this verdict (1 error, 0 not; by default whether the transaction failed, nil without a status); true if the change is found with it
---@field changes fun(self: cw.drift.hddm_w, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.hddm_w, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@field warning fun(self: cw.drift.hddm_w, tx: cw.Tx, field?: string): boolean? # true if the last verdict made it warn; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.hddm_w
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field drift number? # probability of a false alarm
---@field warning number? # probability of a false warning
---@field two_sided boolean? # falls of the rate are found too
---@field lambda number? # weight of the newest verdict
---Tells when a share has changed, by weighted averages: quicker than hddm_a for sudden changes.
---@param options cw.options.drift.hddm_w
---@return cw.drift.hddm_w
function drift.hddm_w(options) end

---A window that grows while the mean of a number holds and is cut where it changes: tells the change, and keeps the mean of what is valid now.
---@class cw.drift.adwin: cw.State
---@field add fun(self: cw.drift.adwin, tx: cw.Tx, x?: number): boolean? # takes this number (by default the field `of`); true if the change is found with it
---@field changes fun(self: cw.drift.adwin, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.adwin, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@field width fun(self: cw.drift.adwin, tx: cw.Tx, field?: string): number? # numbers in the window; a field as argument looks up that field's entry instead of the key's
---@field mean fun(self: cw.drift.adwin, tx: cw.Tx, field?: string): number? # mean of the window, nil if it is empty; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.adwin
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to watch; left out: the number is an argument of add
---@field delta number? # probability of a false cut; smaller is more cautious
---@field clock integer? # numbers between two looks for a cut
---@field rows integer? # length of the window at most 5 * 2^rows numbers
---@field leave_newest boolean? # the newest bucket of each row is on neither side of a cut, as in river and scikit-multiflow (finds later)
---@field restart boolean? # a change empties the window, not only its older side
---A window that grows while the mean of a number holds and is cut where it changes: tells the change, and keeps the mean of what is valid now.
---@param options cw.options.drift.adwin
---@return cw.drift.adwin
function drift.adwin(options) end

---Compares the newest numbers with those before them: any change of their distribution, not of the mean only.
---@class cw.drift.kswin: cw.State
---@field add fun(self: cw.drift.kswin, tx: cw.Tx, x?: number): boolean? # takes this number (by default the field `of`); true if the change is found with it
---@field changes fun(self: cw.drift.kswin, tx: cw.Tx, field?: string): number? # changes found so far; a field as argument looks up that field's entry instead of the key's
---@field age fun(self: cw.drift.kswin, tx: cw.Tx, field?: string): number? # seconds since the last change, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@field statistic fun(self: cw.drift.kswin, tx: cw.Tx, field?: string): number? # Kolmogorov-Smirnov distance of the last test; a field as argument looks up that field's entry instead of the key's
---@field psi fun(self: cw.drift.kswin, tx: cw.Tx, field?: string): number? # population stability index of the newest against the older numbers, nil before the window is full; a field as argument looks up that field's entry instead of the key's
---@field wasserstein fun(self: cw.drift.kswin, tx: cw.Tx, field?: string): number? # Wasserstein distance of the newest and the older numbers, nil before the window is full; a field as argument looks up that field's entry instead of the key's
---@class cw.options.drift.kswin
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to watch; left out: the number is an argument of add
---@field alpha number? # probability of a false alarm in one test
---@field window integer? # numbers in the window
---@field recent integer? # newest numbers that are compared with the others of the window
---@field keep boolean? # after a change the newest numbers stay as the new past
---Compares the newest numbers with those before them: any change of their distribution, not of the mean only.
---@param options cw.options.drift.kswin
---@return cw.drift.kswin
function drift.kswin(options) end

sketch = {}

---How many different things (addresses, selectors) there were, of thousands to billions.
---@class cw.sketch.distinct: cw.State
---@field add fun(self: cw.sketch.distinct, tx: cw.Tx): number? # number of different things so far, this one included (estimate)
---@field get fun(self: cw.sketch.distinct, tx: cw.Tx, field?: string): number? # number of different things so far (estimate); a field as argument looks up that field's entry instead of the key's
---@class cw.options.sketch.distinct
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string # field or fields that make up a thing
---@field every string|number? # starts anew at each multiple of this span of event time; left out: never
---@field precision integer? # the sketch has 2^precision registers of a byte
---How many different things (addresses, selectors) there were, of thousands to billions.
---@param options cw.options.sketch.distinct
---@return cw.sketch.distinct
function sketch.distinct(options) end

---How often each of very many things was seen, in fixed memory: never too few.
---@class cw.sketch.count: cw.State
---@field add fun(self: cw.sketch.count, tx: cw.Tx, x?: number): number? # counts this thing (by the argument, 1 by default); its count so far, this one included
---@field get fun(self: cw.sketch.count, tx: cw.Tx): number? # this thing's count so far
---@field total fun(self: cw.sketch.count, tx: cw.Tx): number? # count of all things
---@field share fun(self: cw.sketch.count, tx: cw.Tx): number? # this thing's share of all, nil if there are none
---@class cw.options.sketch.count
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string # field or fields that make up a thing
---@field every string|number? # starts anew at each multiple of this span of event time; left out: never
---@field cells integer? # counters of 4 bytes, rounded up to a power of two
---How often each of very many things was seen, in fixed memory: never too few.
---@param options cw.options.sketch.count
---@return cw.sketch.count
function sketch.count(options) end

---The heaviest things, by number or by weight, and the share of each.
---@class cw.sketch.top: cw.State
---@field add fun(self: cw.sketch.top, tx: cw.Tx, x?: number): number? # adds the argument (1 by default, above 0) to this thing's weight; the weight, this one included
---@field get fun(self: cw.sketch.top, tx: cw.Tx): number? # this thing's weight, 0 if it is not among the heaviest
---@field error fun(self: cw.sketch.top, tx: cw.Tx): number? # by how much that may be too large, nil if it is not among the heaviest
---@field rank fun(self: cw.sketch.top, tx: cw.Tx): number? # 1 for the heaviest thing, nil if it is not among them
---@field share fun(self: cw.sketch.top, tx: cw.Tx): number? # this thing's share of all weight, nil if there is none
---@field nth fun(self: cw.sketch.top, tx: cw.Tx, x?: number): number? # weight of the i-th heaviest, 0 beyond
---@field total fun(self: cw.sketch.top, tx: cw.Tx): number? # weight of all things
---@class cw.options.sketch.top
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string # field or fields that make up a thing
---@field every string|number? # starts anew at each multiple of this span of event time; left out: never
---@field k integer? # things that are kept
---The heaviest things, by number or by weight, and the share of each.
---@param options cw.options.sketch.top
---@return cw.sketch.top
function sketch.top(options) end

---Whether a thing was seen before, for many more things than a dictionary could hold.
---@class cw.sketch.seen: cw.State
---@field add fun(self: cw.sketch.seen, tx: cw.Tx): boolean? # notes this thing; true if it was (or seems to have been) noted before
---@field has fun(self: cw.sketch.seen, tx: cw.Tx): boolean? # true if this thing was (or seems to have been) noted
---@field count fun(self: cw.sketch.seen, tx: cw.Tx): number? # different things noted (a few too few)
---@class cw.options.sketch.seen
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string # field or fields that make up a thing
---@field capacity integer? # different things a filter is planned for; more make false yes likelier
---@field error number? # share of new things that seem known when it is filled to capacity
---Whether a thing was seen before, for many more things than a dictionary could hold.
---@param options cw.options.sketch.seen
---@return cw.sketch.seen
function sketch.seen(options) end

---A uniform sample of all numbers of a key: where a new one stands among them.
---@class cw.sketch.sample: cw.State
---@field add fun(self: cw.sketch.sample, tx: cw.Tx, x?: number): number? # share of the past below this number (0 to 1, equal ones by half), then takes it; nil at first
---@field rank fun(self: cw.sketch.sample, tx: cw.Tx, x?: number): number? # share of the past below this number, without taking it
---@field mean fun(self: cw.sketch.sample, tx: cw.Tx, field?: string): number? # mean of the sample; a field as argument looks up that field's entry instead of the key's
---@field count fun(self: cw.sketch.sample, tx: cw.Tx, field?: string): number? # numbers that were taken, in the sample or not; a field as argument looks up that field's entry instead of the key's
---@class cw.options.sketch.sample
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to sample; left out: the number is an argument
---@field every string|number? # starts anew at each multiple of this span of event time; left out: never
---@field n integer? # numbers in the sample
---@field seed integer? # which sample is drawn
---A uniform sample of all numbers of a key: where a new one stands among them.
---@param options cw.options.sketch.sample
---@return cw.sketch.sample
function sketch.sample(options) end

graph = {}

---A bounded graph of who paid whom: degrees, distance to labelled addresses, tainted shares of balances, cycles, peel chains, common funders. Several rules can each keep one with its own limits.
---@class cw.graph.transfers: cw.State
---@field add fun(self: cw.graph.transfers, tx: cw.Tx): number? # adds the transfer; number of receivers of the sender within span, this one included; nil if it moves nothing (failed, below min_value, to itself, no receiver)
---@field fan_in fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): number? # number of senders that paid the address within span, up to `edges`; looks at `to`, or at the field that is given (from, to)
---@field fan_out fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): number? # number of receivers that the address paid within span, up to `edges`; looks at `from`, or at the field that is given (from, to)
---@field hops fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): number? # transfers, in the order of time, from the nearest labelled address to this one, 0 if it is labelled itself. nil: not known, the work was used up; math.huge: there is none; looks at `from`, or at the field that is given (from, to)
---@field hops_out fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): number? # the same in the other direction: from this address to the nearest labelled one it paid, directly or through others. nil: not known, the work was used up; math.huge: there is none; looks at `to`, or at the field that is given (from, to)
---@field proximity fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): number? # decay ^ hops: 1 if labelled itself, 0 if there is no path, nil: not known; looks at `from`, or at the field that is given (from, to)
---@field category fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): string? # category of the labelled address that hops finds, nil if it finds none; looks at `from`, or at the field that is given (from, to)
---@field taint fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): number? # 0 to 1: tainted share of the value that this transaction moves, before and after add alike; with a field (from, to): of the balance of that address, 1 if it is labelled itself
---@field tainted fun(self: cw.graph.transfers, tx: cw.Tx, field?: string): number? # wei: tainted part of the balance; looks at `from`, or at the field that is given (from, to)
---@field cycle fun(self: cw.graph.transfers, tx: cw.Tx): number? # transfers in the shortest cycle that this transaction closes, itself included, 2 to 6: money that its sender got from its receiver in the order of time, through addresses that passed on at least `keep` of this value; 0: none; nil: not known, the work was used up
---@field peel fun(self: cw.graph.transfers, tx: cw.Tx): number? # addresses in the peel chain that ends with this transaction: each had one payer, passed on at least `keep` of what it got and paid somebody else besides (the last may still do so). A lower bound when the work is used up
---@field common_funder fun(self: cw.graph.transfers, tx: cw.Tx): number? # transfers, at most, from the nearest third address whose money reached both sender and receiver: 1 if it paid both directly. nil: not known, the work was used up; math.huge: there is none
---@class cw.options.graph.transfers
---@field max_addresses integer? # addresses kept; beyond it the one whose last transfer is oldest among 8 makes room
---@field edges integer? # counterparties an address keeps in each direction: those with the newest transfers in event time
---@field span string|number? # age in event time up to which transfers count in degrees and on paths; taint has no age
---@field min_value number? # wei; smaller transfers are not added
---@field labels string? # categories of the address lists that count as sources (and ends) of tainted money, joined with commas; "": all
---@field method string? # how taint spreads: haircut (in proportion), poison (all of it), fifo (in the order in which money came)
---@field hops integer? # transfers that hops, hops_out, proximity, category and common_funder follow at most
---@field decay number? # factor of proximity for each hop
---@field work integer? # edges that one call looks at before it gives up
---@field hub integer? # addresses that keep more counterparties than this in either direction are services: no path goes through them, they fund nobody in common; 0: no limit
---@field keep number? # share of an amount that must go on for it to be the same money, in cycles and peel chains
---A bounded graph of who paid whom: degrees, distance to labelled addresses, tainted shares of balances, cycles, peel chains, common funders. Several rules can each keep one with its own limits.
---@param options cw.options.graph.transfers
---@return cw.graph.transfers
function graph.transfers(options) end

series = {}

---How odd the newest number of a metric is against all that came before, whatever its scale: its level, spread, time of day and shape. No settings.
---@class cw.series.score: cw.State
---@field add fun(self: cw.series.score, tx: cw.Tx, x?: number): number? # score of this number (by default the field `of`) against the past, then takes it: 0 to 1, an alert from 0.5 on; the 100 numbers after an alert stay below
---@field last fun(self: cw.series.score, tx: cw.Tx, field?: string): number? # score of the last number taken, nil if there was none; a field as argument looks up that field's entry instead of the key's
---@field reason fun(self: cw.series.score, tx: cw.Tx, field?: string): string? # what was oddest about the last number: value, spread, season, envelope, shape, unrest; nil if nothing was; a field as argument looks up that field's entry instead of the key's
---@field count fun(self: cw.series.score, tx: cw.Tx, field?: string): number? # numbers taken so far; a field as argument looks up that field's entry instead of the key's
---@class cw.options.series.score
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # field to watch; left out: the number is an argument of add
---How odd the newest number of a metric is against all that came before, whatever its scale: its level, spread, time of day and shape. No settings.
---@param options cw.options.series.score
---@return cw.series.score
function series.score(options) end

outlier = {}

---How easily random cuts set a row of several fields apart from the recent ones: an isolation forest that follows the stream.
---@class cw.outlier.forest: cw.State
---@field add fun(self: cw.outlier.forest, tx: cw.Tx): number? # score of this row against the recent past, then takes it: 0 to 1, about 0.5 ordinary, above 0.6 odd; nil in the first 256 rows
---@field score fun(self: cw.outlier.forest, tx: cw.Tx): number? # the same without taking the row
---@field count fun(self: cw.outlier.forest, tx: cw.Tx, field?: string): number? # rows taken so far; a field as argument looks up that field's entry instead of the key's
---@class cw.options.outlier.forest
---@field key string? # field or fields that tell entries apart; left out: one entry for each chain
---@field max_keys integer? # entries kept; beyond it the entry whose last event is oldest among 8 makes room
---@field of string? # fields that make a row, joined with +, up to 16
---@field log boolean? # take logarithms (of 1 + x): amounts and gas run over many decades
---@field trees integer? # trees
---@field window integer? # newest rows that trees are grown from
---@field seed integer? # of the cuts
---How easily random cuts set a row of several fields apart from the recent ones: an isolation forest that follows the stream.
---@param options cw.options.outlier.forest
---@return cw.outlier.forest
function outlier.forest(options) end

list = {}

---Whether an address is on one of the lists (labels, sanctions, own allow lists), and what is known of it. Lists are loaded beside the rules; they are not detector state and do not rewind. An alert rests on what its evaluation found: that is stored with it.
---@class cw.list.contains: cw.State
---@field has fun(self: cw.list.contains, tx: cw.Tx, field?: string): boolean? # true if the address is on the list; looks at `to`, or at the field that is given: any that is an address
---@field category fun(self: cw.list.contains, tx: cw.Tx, field?: string): string? # category of the address, nil if it is not on the list; looks at `to`, or at the field that is given: any that is an address
---@field name fun(self: cw.list.contains, tx: cw.Tx, field?: string): string? # name of the address, nil if it is not on the list; looks at `to`, or at the field that is given: any that is an address
---@field source fun(self: cw.list.contains, tx: cw.Tx, field?: string): string? # where the entry comes from, nil if it is not on the list; looks at `to`, or at the field that is given: any that is an address
---@field confidence fun(self: cw.list.contains, tx: cw.Tx, field?: string): number? # 0 to 1, nil if it is not on the list; looks at `to`, or at the field that is given: any that is an address
---@class cw.options.list.contains
---@field list string? # lists to look into, joined with commas; left out: all
---@field category string? # categories that count, joined with commas; left out: all
---@field min_confidence number? # entries that are less sure do not count
---Whether an address is on one of the lists (labels, sanctions, own allow lists), and what is known of it. Lists are loaded beside the rules; they are not detector state and do not rewind. An alert rests on what its evaluation found: that is stored with it.
---@param options cw.options.list.contains
---@return cw.list.contains
function list.contains(options) end
