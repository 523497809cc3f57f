"""What goes out to people elsewhere: `split` cuts a text into parts that a channel takes, `outbox` keeps them until they have arrived."""
