"""The job of the example, and its schedule."""

import dagster as dg

review_sentiments_job = dg.define_asset_job(
    "review_sentiments_job",
    selection=dg.AssetSelection.groups("reviews"),
    description="Reads the reviews, asks a flow about those that are new or changed, and counts.",
)

# Off until you switch it on under Automation, since a flow may cost money.
review_sentiments_daily = dg.ScheduleDefinition(
    name="review_sentiments_daily",
    job=review_sentiments_job,
    cron_schedule="0 6 * * *",
    description="Labels the day's new reviews every morning at 06:00 UTC.",
)
