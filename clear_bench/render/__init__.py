"""Write finished numbers as tables, pictures and pages. No statistic is computed here."""
