"""mambaedu"""
