"""Where hostile bytes become upright sRGB pixels, and pixels become bytes of our own making."""
