"""The floor every app stands on: money, jobs, audit, API and admin plumbing. Imports no app."""
