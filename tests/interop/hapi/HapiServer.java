import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.r5.JpaR5Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import jakarta.persistence.EntityManagerFactory;
import java.util.Map;
import java.util.Properties;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.BasicDataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;

/** HAPI FHIR's JPA server with its own defaults, on loopback, its database in memory: {@code HapiServer R4|R5 PORT}. */
public final class HapiServer {
    private static final Map<String, Class<?>> CONFIGURATIONS = Map.of("R4", R4.class, "R5", R5.class);

    private HapiServer() {}

    public static void main(String[] arguments) throws Exception {
        String version = arguments[0];
        ApplicationContext hapi = new AnnotationConfigApplicationContext(CONFIGURATIONS.get(version));
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[1]));
        server.addConnector(connector);
        ServletContextHandler servlets = new ServletContextHandler();
        servlets.addServlet(new ServletHolder(new FhirServlet(hapi, version)), "/fhir/*");
        server.setHandler(servlets);
        server.start();
        server.join();
    }

    /** Speaks FHIR for what the configuration made. */
    private static final class FhirServlet extends RestfulServer {
        private final transient ApplicationContext hapi;
        private final String version;

        FhirServlet(ApplicationContext hapi, String version) {
            super(hapi.getBean(FhirContext.class));
            this.hapi = hapi;
            this.version = version;
        }

        @Override
        protected void initialize() {
            registerProviders(hapi.getBean("myResourceProviders" + version, ResourceProviderFactory.class).createProviders());
            registerProvider(hapi.getBean(JpaSystemProvider.class));
            setPagingProvider(hapi.getBean(DatabaseBackedPagingProvider.class));
            setServerConformanceProvider(
                    new JpaCapabilityStatementProvider(
                            this,
                            hapi.getBean(IFhirSystemDao.class),
                            hapi.getBean(JpaStorageSettings.class),
                            hapi.getBean(ISearchParamRegistry.class),
                            hapi.getBean(IValidationSupport.class)));
        }
    }

    @Configuration
    @Import({Common.class, JpaR4Config.class})
    static class R4 {}

    @Configuration
    @Import({Common.class, JpaR5Config.class})
    static class R5 {}

    /** What HAPI leaves to whoever runs it. */
    @Configuration
    @Import({
        HapiJpaConfig.class,
        JpaBatch2Config.class,
        Batch2JobsConfig.class,
        SubscriptionChannelConfig.class,
        ThreadPoolFactoryConfig.class
    })
    static class Common {
        @Bean
        JpaStorageSettings storageSettings() {
            return new JpaStorageSettings();
        }

        @Bean
        PartitionSettings partitionSettings() {
            return new PartitionSettings();
        }

        @Bean(destroyMethod = "close")
        DataSource dataSource() {
            BasicDataSource database = new BasicDataSource();
            database.setUrl("jdbc:h2:mem:hapi;DB_CLOSE_DELAY=-1");
            database.setMaxTotal(40);
            return database;
        }

        @Bean
        LocalContainerEntityManagerFactoryBean entityManagerFactory(
                ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings settings, DataSource database) {
            LocalContainerEntityManagerFactoryBean factory =
                    HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, settings);
            factory.setPersistenceUnitName("hapi");
            factory.setDataSource(database);
            Properties properties = new Properties();
            properties.put("hibernate.dialect", HapiFhirH2Dialect.class.getName());
            properties.put("hibernate.hbm2ddl.auto", "create");
            properties.put("hibernate.search.enabled", "false"); // no full text: no Lucene index
            properties.put("hibernate.jdbc.batch_size", "20");
            factory.setJpaProperties(properties);
            return factory;
        }

        @Bean
        @Primary
        JpaTransactionManager transactionManager(EntityManagerFactory factory) {
            return new JpaTransactionManager(factory);
        }
    }
}
