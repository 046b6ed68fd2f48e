"""What is made of results: tables, pictures, pages."""
