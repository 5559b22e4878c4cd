"""The functional ANOVA of hyperparameters."""
