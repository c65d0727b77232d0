"""From a written ablation plan to runs and a table: plan, bind, check, run, report, and judges of plans."""
