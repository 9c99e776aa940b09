"""What leads do: campaigns and guidelines, invites, reviews, questions and appeals, hours and pay."""
