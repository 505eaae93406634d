"""Train and choose models with the other parts: mine, translate, sweep losses, merge weights, evaluate in training."""
