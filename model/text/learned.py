"""Common words that GPT-SoVITS' checkpoints learned with another reading than CMUdict's first.

Their training texts were read with an older edition of CMUdict, which prefers other weak vowels in
about one word of a hundred. Either reading is good English; voices know these.
"""

# the second of the readings that CMUdict has
_SECOND_LIST = (
    "activist activists activities activity added adequately advances ages agricultural aided "
    "alexander alfred alice amateur amateurs america american americans americas anatomical "
    "anecdotes announcement approaches arises artist ashes attribute attributes averaged avid "
    "awesome awful awkward baggage beatrice bucket capital cardinal catches charges chemical "
    "chemistry courage cricket dentists discouraged domino eccentric emphasis episode episodes "
    "exercises expenses fences government governments granite judith loses markedly misses "
    "notice notices often olive oliver orange oranges patches practical practically practice "
    "practiced practices praises president proceeded proceeding publicity radical radicals "
    "rapid rapids recorded reduce reduced reduces reducing sacred secrets several socialist "
    "specialist specialists stages stronger stupid successes therapist translated units unity "
    "unlimited verses victim victims vivid wallace weaknesses wedges zenith zero"
)
# the first with "IH0" for every "AH0"
_WITH_IH_LIST = (
    "acid acids activated believer believers characteristic characteristics characterize "
    "characterized characters councils dividends epilepsy institute instituted institutes lucid "
    "noticed optimistic optimize practicing presidents replicate reportedly rugged terminate "
    "terminated terminating testified testify testimony tulip tulips"
)
SECOND = frozenset(_SECOND_LIST.split())
WITH_IH = frozenset(_WITH_IH_LIST.split())
