"""What living processes have recorded, read and added up."""
