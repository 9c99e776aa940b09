"""What can be checked: words against words by recognisers, and measurements that pass or stop a rollout."""
