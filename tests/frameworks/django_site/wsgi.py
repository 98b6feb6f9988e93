"""What `runserver` serves: the project's WSGI application, measured."""

from django.core.wsgi import get_wsgi_application

import perfsdk

application = perfsdk.instrument(get_wsgi_application())
