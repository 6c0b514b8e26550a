"""What a child process measures: imported there, by the Python of any peer, so imports wait until they are needed.

Each function takes the folder with the data and options by name. It gives what is timed, by name, and facts to report.
"""
