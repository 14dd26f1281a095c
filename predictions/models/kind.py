from django.db import models


class Kind(models.TextChoices):
    """What is predicted. PROFILE is the lifetime value of somebody who is not in the database, from a described profile."""

    CHURN = "churn", "Churn"
    LTV = "ltv", "Lifetime value"
    FRAUD = "fraud", "Fraud"
    SEGMENTATION = "segmentation", "Segmentation"
    ENGAGEMENT = "engagement", "Engagement"
    PROFILE = "profile", "Value of a profile"
