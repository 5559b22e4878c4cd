"""What a study stores: its folder, who may write there, what a trial's file says."""
