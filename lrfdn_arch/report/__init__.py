"""Reports of evaluation results: tables, plots, images, pages."""
