from . import clearance as clearance
from . import standing as standing
