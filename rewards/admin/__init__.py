from . import approvals as approvals
from . import budget as budget
from . import decision as decision
from . import earning as earning
from . import rule as rule
from . import tiers as tiers
