from .api_access import ApiClient, ApiKey, IdempotentRequest
from .audit import AuditEvent
from .job import JobChunk, JobRun

__all__ = ["ApiClient", "ApiKey", "AuditEvent", "IdempotentRequest", "JobChunk", "JobRun"]
