"""What a plan rests on: the objects of files, the API server's word on each, and copies of what is around them."""
