"""The engine: does a run repeat, and how does it compare with other tools and trainers?"""
