-- A record is its phase, its owner and the request, and then, of a run, the attempt, the fence, when the lease ends and when
-- it is forgotten; of a request that is over, what came of it. Phases are `r`unning, `n`obody's, which is a run as well, `d`one
-- and `p`arked.
--
-- What a script has written stays, also if a later write is denied: the user may have lost the right to it. So a record is one
-- value, and changes by one write from one state that it may be in to the next.
local RUN, OVER = '>c1c16c32I4I8I8I8', '>c1c16c32'
local RUN_LENGTH, OVER_LEAST = 77, 49
