VERSIONS = ((999,), (1000,))


def patch(module, patches, recorder): ...
