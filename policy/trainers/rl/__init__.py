"""Policy gradients: PPO and GRPO on one core, on rollouts of the policy itself."""
